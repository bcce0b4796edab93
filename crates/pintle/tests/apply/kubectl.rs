//! kubectl, unmodified: what people do by hand, against a Deployment, a
//! Service, a ConfigMap and a resource whose types are made at run time.
//! `KUBECTL` names the program; else it is looked for on the PATH. Without one
//! the tests are left out.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use test_server::TestServer;
use tokio::io::AsyncWriteExt;

use crate::widgets::{gadgets, widgets};

/// A server and a kubectl that speaks to it.
struct Kubectl {
    program: PathBuf,
    server: TestServer,
    /// Home, cache and files of this kubectl.
    folder: TempDir,
}

/// What a run of kubectl came to.
struct Run {
    ok: bool,
    out: String,
    err: String,
}

impl Kubectl {
    /// None, and a line that says so, where there is no kubectl.
    #[allow(clippy::print_stdout, reason = "says that the test was left out")]
    async fn new() -> Option<Kubectl> {
        let Some(program) = find() else {
            println!("no kubectl on the PATH and KUBECTL is not set: what people do with it is left out");
            return None;
        };
        let server = TestServer::start_serving(vec![widgets(), gadgets()]).await.unwrap();
        Some(Kubectl { program, server, folder: tempfile::tempdir().unwrap() })
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs with words separated by spaces and further arguments.
    async fn run_with(&self, words: &str, more: &[&str], stdin: &str) -> Run {
        let mut command = tokio::process::Command::new(&self.program);
        command.arg("--kubeconfig").arg(self.server.kubeconfig());
        command.args(words.split_whitespace()).args(more).current_dir(self.folder.path());
        command.env_clear().env("HOME", self.folder.path()).env("TMPDIR", self.folder.path());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("KUBE_EDITOR", self.folder.path().join("editor.sh"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(stdin.as_bytes()).await.unwrap();
        drop(input);
        let output = child.wait_with_output().await.unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Run { ok: output.status.success(), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Runs and expects success; gives back what was printed.
    #[track_caller]
    fn ok(&self, words: &str) -> impl Future<Output = String> {
        self.ok_with(words, &[], "")
    }

    async fn ok_with(&self, words: &str, more: &[&str], stdin: &str) -> String {
        let run = self.run_with(words, more, stdin).await;
        assert!(run.ok, "kubectl {words} {more:?}: {}{}", run.out, run.err);
        run.out
    }

    /// One value of an object.
    async fn value(&self, object: &str, path: &str) -> String {
        self.ok_with(&format!("get {object} -o"), &[&format!("jsonpath={{{path}}}")], "").await
    }

    /// `manager operation` of each entry, in one line.
    async fn managers(&self, object: &str) -> String {
        let template = "jsonpath={range .metadata.managedFields[*]}{.manager} {.operation},{end}";
        self.ok_with(&format!("get {object} --show-managed-fields -o"), &[template], "").await
    }
}

fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("KUBECTL") {
        return Some(PathBuf::from(named));
    }
    let paths = std::env::var_os("PATH")?;
    let found =
        std::env::split_paths(&paths).map(|folder| folder.join("kubectl")).find(|path| path.is_file())?;
    // A link's target may look at the name it was called by.
    found.canonicalize().ok()
}

/// What kubectl is shown as: an object per resource, with a field that changes.
struct Example {
    /// As kubectl names it, e.g. `deployment/d`.
    name: &'static str,
    /// YAML; `VALUE` is the field that changes.
    yaml: &'static str,
    /// Path of that field, for jsonpath.
    path: &'static str,
    values: [&'static str; 3],
    /// It is of a built-in type: strategic patches work.
    built_in: bool,
}

const EXAMPLES: [Example; 5] = [
    Example {
        name: "configmap/c",
        yaml: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {key: VALUE, other: fixed}\n",
        path: ".data.key",
        values: ["value-1", "value-2", "value-3"],
        built_in: true,
    },
    Example {
        name: "service/s",
        yaml: "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  selector: {app: VALUE}\n  ports:\n  - {name: http, port: 80}\n  - {name: dns, port: 53, protocol: UDP}\n",
        path: ".spec.selector.app",
        values: ["value-1", "value-2", "value-3"],
        built_in: true,
    },
    Example {
        name: "deployment/d",
        yaml: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: 2\n  selector: {matchLabels: {app: d}}\n  template:\n    metadata: {labels: {app: d}}\n    spec:\n      containers:\n      - {name: main, image: VALUE}\n      - {name: side, image: sidecar}\n",
        path: ".spec.template.spec.containers[0].image",
        values: ["one:1", "two:2", "three:3"],
        built_in: true,
    },
    Example {
        name: "widget/w",
        yaml: "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec:\n  a: VALUE\n  items: [{name: x, value: text}]\n",
        path: ".spec.a",
        values: ["value-1", "value-2", "value-3"],
        built_in: false,
    },
    Example {
        name: "gadget/g",
        yaml: "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g}\nspec:\n  a: VALUE\n  deep: {er: [1, {b: c}]}\n",
        path: ".spec.a",
        values: ["value-1", "value-2", "value-3"],
        built_in: false,
    },
];

impl Example {
    fn file(&self, kubectl: &Kubectl, value: &str) -> String {
        let name = format!("{}.yaml", self.name.replace('/', "-"));
        kubectl.file(&name, &self.yaml.replace("VALUE", value))
    }

    async fn is(&self, kubectl: &Kubectl, value: &str) {
        assert_eq!(kubectl.value(self.name, self.path).await, value, "{}", self.name);
    }
}

#[tokio::test]
async fn client_side_apply_creates_changes_and_leaves_alone() {
    let Some(kubectl) = Kubectl::new().await else { return };
    for example in &EXAMPLES {
        let [one, two, _] = example.values;
        let file = example.file(&kubectl, one);
        let created = kubectl.ok(&format!("apply -f {file}")).await;
        assert!(created.ends_with(" created\n"), "{created}");
        let again = kubectl.ok(&format!("apply -f {file}")).await;
        assert!(again.ends_with(" unchanged\n"), "{again}");
        let file = example.file(&kubectl, two);
        let differs = kubectl.run_with(&format!("diff -f {file}"), &[], "").await;
        assert!(!differs.ok && differs.out.contains('+') && differs.out.contains(two), "{}", differs.out);
        let configured = kubectl.ok(&format!("apply -f {file}")).await;
        assert!(configured.ends_with(" configured\n"), "{configured}");
        example.is(&kubectl, two).await;
        kubectl.ok(&format!("diff -f {file}")).await;
        assert_eq!(kubectl.managers(example.name).await, "kubectl-client-side-apply Update,");
    }
}

#[tokio::test]
async fn server_side_apply_creates_conflicts_and_forces() {
    let Some(kubectl) = Kubectl::new().await else { return };
    for example in &EXAMPLES {
        let [one, two, three] = example.values;
        let file = example.file(&kubectl, one);
        let applied = kubectl.ok(&format!("apply --server-side -f {file}")).await;
        assert!(applied.ends_with(" serverside-applied\n"), "{applied}");
        let file = example.file(&kubectl, two);
        let refused =
            kubectl.run_with(&format!("apply --server-side --field-manager=other -f {file}"), &[], "").await;
        assert!(!refused.ok && refused.err.contains("conflict with \"kubectl\""), "{}", refused.err);
        let differs = kubectl
            .run_with(
                &format!("diff --server-side --force-conflicts --field-manager=other -f {file}"),
                &[],
                "",
            )
            .await;
        assert!(!differs.ok && differs.out.contains(two), "{}{}", differs.out, differs.err);
        kubectl.ok(&format!("apply --server-side --field-manager=other --force-conflicts -f {file}")).await;
        example.is(&kubectl, two).await;
        assert_eq!(kubectl.managers(example.name).await, "kubectl Apply,other Apply,");
        let file = example.file(&kubectl, three);
        kubectl.ok(&format!("apply --server-side --dry-run=server --force-conflicts -f {file}")).await;
        example.is(&kubectl, two).await;
    }
}

#[tokio::test]
async fn what_was_applied_by_the_client_is_taken_over_by_the_server() {
    let Some(kubectl) = Kubectl::new().await else { return };
    for example in &EXAMPLES {
        let [one, two, three] = example.values;
        kubectl.ok(&format!("apply -f {}", example.file(&kubectl, one))).await;
        kubectl.ok(&format!("apply --server-side -f {}", example.file(&kubectl, two))).await;
        example.is(&kubectl, two).await;
        // And back again: the annotation that the client compares with is kept true.
        kubectl.ok(&format!("apply -f {}", example.file(&kubectl, three))).await;
        example.is(&kubectl, three).await;
    }
}

#[tokio::test]
async fn objects_are_created_edited_and_replaced() {
    let Some(kubectl) = Kubectl::new().await else { return };
    for example in &EXAMPLES {
        let [one, two, three] = example.values;
        kubectl.ok(&format!("create --save-config -f {}", example.file(&kubectl, one))).await;
        editor(&kubectl, one, two);
        kubectl.ok(&format!("edit {}", example.name)).await;
        example.is(&kubectl, two).await;
        let shown = kubectl.ok(&format!("get {} -o yaml", example.name)).await;
        kubectl.ok_with("replace -f -", &[], &shown.replace(two, three)).await;
        example.is(&kubectl, three).await;
        kubectl.ok(&format!("replace --force -f {}", example.file(&kubectl, one))).await;
        example.is(&kubectl, one).await;
    }
    let created = kubectl.ok("create configmap literal --from-literal=a=b --dry-run=client -o yaml").await;
    editor(&kubectl, "a: b", "a: edited");
    kubectl.ok_with("create --edit -f -", &[], &created).await;
    assert_eq!(kubectl.value("configmap/literal", ".data.a").await, "edited");
}

/// Makes the editor one that replaces a text by another.
fn editor(kubectl: &Kubectl, from: &str, to: &str) {
    let script = kubectl.file("editor.sh", &format!("#!/bin/sh\nexec sed -i 's|{from}|{to}|' \"$1\"\n"));
    executable(Path::new(&script));
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn all_types_of_patches_labels_and_annotations_work() {
    let Some(kubectl) = Kubectl::new().await else { return };
    for example in &EXAMPLES {
        let [one, two, _] = example.values;
        let name = example.name;
        kubectl.ok(&format!("create -f {}", example.file(&kubectl, one))).await;
        kubectl
            .ok_with(&format!("patch {name} --type=merge -p"), &[r#"{"metadata":{"labels":{"l":"1"}}}"#], "")
            .await;
        let json = format!(r#"[{{"op":"replace","path":"{}","value":"{two}"}}]"#, pointer(example.path));
        kubectl.ok_with(&format!("patch {name} --type=json -p"), &[&json], "").await;
        example.is(&kubectl, two).await;
        let strategic = kubectl
            .run_with(&format!("patch {name} -p"), &[r#"{"metadata":{"labels":{"s":"2"}}}"#], "")
            .await;
        assert_eq!(strategic.ok, example.built_in, "{}", strategic.err);
        kubectl.ok(&format!("label {name} more=3 --overwrite l=4")).await;
        kubectl.ok(&format!("annotate {name} note=5")).await;
        let labels = kubectl.value(name, ".metadata.labels").await;
        assert!(labels.contains(r#""l":"4""#) && labels.contains(r#""more":"3""#), "{labels}");
        kubectl.ok(&format!("label {name} l-")).await;
        kubectl.ok(&format!("annotate {name} note-")).await;
        let metadata = kubectl.value(name, ".metadata").await;
        assert!(!metadata.contains(r#""l":"4""#) && !metadata.contains("note"), "{metadata}");
        let (kind, own) = name.split_once('/').unwrap();
        assert!(kubectl.ok(&format!("get {kind} -l more=3")).await.contains(own));
        kubectl.ok(&format!("delete {name}")).await;
    }
}

/// A jsonpath of fields and indices as a JSON pointer.
fn pointer(path: &str) -> String {
    path.replace(['.', '['], "/").replace(']', "")
}

#[tokio::test]
async fn deployments_are_scaled_given_images_restarted_and_looked_back_at() {
    let Some(kubectl) = Kubectl::new().await else { return };
    let deployment = &EXAMPLES[2];
    kubectl.ok(&format!("apply -f {}", deployment.file(&kubectl, "one:1"))).await;
    kubectl.ok("scale deployment/d --replicas=5").await;
    assert_eq!(kubectl.value("deployment/d", ".spec.replicas").await, "5");
    let refused = kubectl.run_with("scale deployment/d --current-replicas=9 --replicas=1", &[], "").await;
    assert!(!refused.ok && refused.err.contains("Expected replicas to be 9"), "{}", refused.err);
    kubectl.ok("set image deployment/d main=two:2 side=sidecar:2").await;
    deployment.is(&kubectl, "two:2").await;
    kubectl.ok("set env deployment/d -c main A=b").await;
    kubectl.ok("set resources deployment/d -c main --limits=cpu=1,memory=1Gi").await;
    kubectl.ok("rollout restart deployment/d").await;
    let annotations = kubectl.value("deployment/d", ".spec.template.metadata.annotations").await;
    assert!(annotations.contains("kubectl.kubernetes.io/restartedAt"), "{annotations}");
    kubectl.ok("rollout pause deployment/d").await;
    assert_eq!(kubectl.value("deployment/d", ".spec.paused").await, "true");
    kubectl.ok("rollout resume deployment/d").await;
    assert_eq!(kubectl.value("deployment/d", ".spec.paused").await, "");
    kubectl.ok("autoscale deployment/d --min=1 --max=3").await;
    kubectl.ok("expose deployment/d --port=80 --name=exposed").await;
    assert_eq!(kubectl.value("service/exposed", ".spec.selector.app").await, "d");
}

/// What the deployment controller would have made of two templates.
const REPLICA_SETS: &str = r#"
apiVersion: v1
kind: List
items:
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata:
    name: d-1
    labels: {app: d, pod-template-hash: "1"}
    annotations: {deployment.kubernetes.io/revision: "1"}
    ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: d, uid: UID, controller: true}]
  spec:
    selector: {matchLabels: {app: d, pod-template-hash: "1"}}
    template:
      metadata: {labels: {app: d, pod-template-hash: "1"}}
      spec: {containers: [{name: main, image: "one:1"}, {name: side, image: sidecar}]}
- apiVersion: apps/v1
  kind: ReplicaSet
  metadata:
    name: d-2
    labels: {app: d, pod-template-hash: "2"}
    annotations: {deployment.kubernetes.io/revision: "2"}
    ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: d, uid: UID, controller: true}]
  spec:
    selector: {matchLabels: {app: d, pod-template-hash: "2"}}
    template:
      metadata: {labels: {app: d, pod-template-hash: "2"}}
      spec: {containers: [{name: main, image: "two:2"}, {name: side, image: sidecar}]}
"#;

#[tokio::test]
async fn a_rollout_has_a_history_and_is_undone() {
    let Some(kubectl) = Kubectl::new().await else { return };
    let deployment = &EXAMPLES[2];
    kubectl.ok(&format!("apply -f {}", deployment.file(&kubectl, "one:1"))).await;
    kubectl.ok(&format!("apply -f {}", deployment.file(&kubectl, "two:2"))).await;
    let uid = kubectl.value("deployment/d", ".metadata.uid").await;
    kubectl.ok_with("create -f -", &[], &REPLICA_SETS.replace("UID", &uid)).await;
    let history = kubectl.ok("rollout history deployment/d").await;
    assert!(history.contains("\n1 ") && history.contains("\n2 "), "{history}");
    let first = kubectl.ok("rollout history deployment/d --revision=1").await;
    assert!(first.contains("one:1"), "{first}");
    kubectl.ok("rollout undo deployment/d --to-revision=1").await;
    deployment.is(&kubectl, "one:1").await;
}
