//! Deleting a collection (D.5): page by page, several objects at a time, each
//! an ordinary delete. Not atomic.

use futures::{StreamExt, TryStreamExt, stream};
use meta::options::{DeleteOptions, ListOptions, ResourceVersionMatch};
use meta::{ApiError, ResourceVersion};
use std::sync::Arc;
use storage::{List, Object};

use crate::context::RequestContext;
use crate::store::Store;

/// Objects listed at a time when the caller sets no limit.
const PAGE_OBJECTS: u64 = 10_000;

impl Store {
    /// Deletes what a list with these options would return; with a limit, its
    /// first page only. Returns that list, as it was before. Stops at the
    /// first failure; that an object is gone already is none.
    pub async fn delete_collection(
        &self,
        context: &RequestContext,
        options: DeleteOptions,
        list: &ListOptions,
    ) -> Result<List, ApiError> {
        for warning in self.definition().strategy.warnings_on_delete(&options) {
            context.warn(warning);
        }
        let first_page_only = list.limit > 0;
        let mut request = list.clone();
        if !first_page_only {
            request.limit = PAGE_OBJECTS;
        }
        let mut first = None;
        let mut all: Vec<Arc<Object>> = Vec::new();
        loop {
            let mut page = self.list(context, &request).await?;
            let items: Vec<Arc<Object>> =
                std::mem::replace(&mut page.items, Box::new(std::iter::empty())).collect();
            self.delete_all(context, &options, &items).await?;
            all.extend(items);
            request.continue_token = page.continue_token.clone();
            // The token carries the revision; giving both is not allowed.
            request.resource_version = ResourceVersion::default();
            request.resource_version_match = ResourceVersionMatch::Unset;
            let first = first.get_or_insert(page);
            if first_page_only || request.continue_token.is_empty() {
                let list = List {
                    revision: first.revision,
                    continue_token: if first_page_only {
                        first.continue_token.clone()
                    } else {
                        String::new()
                    },
                    remaining_item_count: first.remaining_item_count.filter(|_| first_page_only),
                    items: Box::new(all.into_iter()),
                };
                return Ok(list);
            }
        }
    }

    async fn delete_all(
        &self,
        context: &RequestContext,
        options: &DeleteOptions,
        items: &[Arc<Object>],
    ) -> Result<(), ApiError> {
        let workers = self.config.delete_collection_workers.max(1);
        // Owned items: futures over borrowed ones cannot be proven `Send` by who boxes them.
        stream::iter(items.to_vec())
            .map(|item| async move {
                let key = String::from_utf8_lossy(&item.key);
                let name = key.rsplit('/').next().unwrap_or_default();
                match self.delete(context, name, options.clone()).await {
                    Ok(_) | Err(ApiError::NotFound { .. }) => Ok(()),
                    Err(error) => Err(error),
                }
            })
            .buffer_unordered(workers)
            .try_collect()
            .await
    }
}
