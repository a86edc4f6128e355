"""The detour that `DiffusionPolicyPipeline` takes when it can: the same numbers, sooner."""
