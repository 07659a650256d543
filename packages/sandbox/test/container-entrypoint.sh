# The entrypoint of the tests' containers: makes the folders, stores its input, and runs the test's script from its environment.
mkdir -p "$VALET_WORKSPACE" "$HOME"
cd "$VALET_WORKSPACE" || exit 78
cat >> inputs.jsonl
eval "$TEST_SCRIPT"
