"""The command line, started on the terminal that is its stdin."""

import os

import peersockets_command

if __name__ == "__main__":
    os.login_tty(0)
    peersockets_command.main()
