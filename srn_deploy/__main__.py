"""`python -m srn_deploy` is `srn-deploy`."""

from srn_deploy.cli import main

main()
