//! The branches of `parallel`: what each of them has for itself.

use rhai::{Array, Dynamic, FnPtr, Map};

/// A copy that shares nothing with the original, in closures' captured values too: those are shared behind locks, which a
/// method-style call holds for its whole length.
pub(super) fn detach(value: &Dynamic) -> Dynamic {
    let mut value = value.flatten_clone();
    if let Some(mut function) = value.write_lock::<FnPtr>() {
        function.iter_curry_mut().for_each(|captured| *captured = detach(captured));
    }
    if let Some(mut items) = value.write_lock::<Array>() {
        items.iter_mut().for_each(|item| *item = detach(item));
    }
    if let Some(mut map) = value.write_lock::<Map>() {
        map.values_mut().for_each(|item| *item = detach(item));
    }
    value
}
