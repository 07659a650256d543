/** What an agent does to exhaust its sandbox, and the limits at which each attack ends. Each attack is bounded by itself, too. */

/** A turn that runs one command. */
export const bash = (command: string) => [
  [{ tool: "bash", arguments: { command, description: "Takes" } }],
  [{ text: "Done." }],
];
/** A program that keeps all that it reads, since there is no end of a line. */
const HOG = "head -c 4000M /dev/zero | tail";

/** Rules of a scenario: a message with the name of one in brackets begins it. */
export const ATTACKS = [
  { name: "memory", when: { userContains: "[memory]" }, turn: bash(HOG) },
  {
    name: "alone",
    when: { userContains: "[alone]" },
    // A shell replaces itself with a command that is a single program.
    turn: bash(`perl -e '$a .= "x" x 1_000_000 for 1..4_000'`),
  },
  {
    name: "itself",
    when: { userContains: "[itself]" },
    // Each of them is smaller than the agent.
    turn: bash("for i in $(seq 30); do (head -c 60M /dev/zero; sleep 9) | tail & done; wait"),
  },
  {
    name: "processes",
    when: { userContains: "[processes]" },
    turn: bash(`sh -c 'i=0; while [ $i -lt 400 ]; do sleep 60 >/dev/null 2>&1 & i=$((i+1)); done; wait'`),
  },
  { name: "file", when: { userContains: "[file]" }, turn: bash("head -c 200M /dev/zero >large; exit $?") },
  {
    name: "disk",
    when: { userContains: "[disk]" },
    // Only after a second, so that somebody knows of the call when OpenCode is ended with it.
    turn: bash("rm -f large; sleep 1; for i in 1 2 3 4 5 6 7; do head -c 20M /dev/zero >many.$i; done; sleep 30"),
  },
  { name: "tidies", when: { userContains: "[tidies]" }, turn: bash("rm -f many.* large; sleep 1.1; du -sm .") },
  {
    name: "files",
    when: { userContains: "[files]" },
    turn: bash(`perl -e 'for (1..600) { open($h[$_], "<", "/dev/null") or do { my $why = $!; sleep 1; die $why } }'`),
  },
  {
    name: "beside",
    when: { userContains: "[beside]" },
    turn: [
      [
        { tool: "bash", arguments: { command: HOG, description: "Takes" } },
        { tool: "bash", arguments: { command: "sleep 4; echo 2 tests failed; exit 1", description: "Fails" } },
      ],
      [{ text: "Done." }],
    ],
  },
];

/** The variables of the limits. */
export const LIMITS = {
  VALET_SANDBOX_MEMORY_BYTES: `${1536 * 1024 * 1024}`,
  VALET_SANDBOX_PROCESSES: "300",
  VALET_SANDBOX_DISK_BYTES: `${100 * 1024 * 1024}`,
  VALET_SANDBOX_OPEN_FILES: "500",
};
