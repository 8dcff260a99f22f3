"""The shipped models: in a wheel this folder is the package `srn_deploy_models`, which holds data only."""
