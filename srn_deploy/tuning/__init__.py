"""Which way to run a model is the fastest on this machine: what `srn-deploy tune` measured, kept and used by `auto`."""
