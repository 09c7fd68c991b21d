"""What releases and checks of dependencies need beside `make`."""
