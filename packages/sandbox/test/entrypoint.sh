# The entrypoint of the tests' sandboxes: keeps what it was given and runs the script that the test put into its environment.
[ ! -d "$VALET_WORKSPACE" ] || cd "$VALET_WORKSPACE"
cat >> inputs.jsonl
eval "$TEST_SCRIPT"
