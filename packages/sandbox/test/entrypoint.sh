# The entrypoint of the tests' sandboxes: keeps what it was given and runs the script that the test put into its environment.
cat >> inputs.jsonl
eval "$TEST_SCRIPT"
