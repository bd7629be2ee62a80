"""`python -m deepaas` is `deepaas-run`."""

from deepaas.cmd.run import main

if __name__ == "__main__":
    main()
