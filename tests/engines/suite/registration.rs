//! What `docs/kubernetes.md` tells to write into the engines' configurations, read by the engines.
