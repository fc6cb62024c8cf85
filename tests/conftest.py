pytest_plugins = ["tests.fix_postgresql"]
