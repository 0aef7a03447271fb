"""The admission webhook that adds the sidecar to pods: `headway injector`."""
