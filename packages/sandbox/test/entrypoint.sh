# The entrypoint of the tests' sandboxes: stores its input and environment, and runs the test's script from its environment.
[ ! -d "$VALET_WORKSPACE" ] || cd "$VALET_WORKSPACE"
cat >> inputs.jsonl
eval "$TEST_SCRIPT"
