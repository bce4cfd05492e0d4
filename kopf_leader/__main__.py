"""`python -m kopf_leader`: the same as the command `kopf-leader`."""

from kopf_leader.cli.main import main

if __name__ == "__main__":
    main()
