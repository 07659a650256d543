/**
 * The hooks that add trailers to the commits of the agent and of workflows' commands. Git finds them by variables in the
 * environment of their shells (git-config(1), GIT_CONFIG_COUNT), so the repository's configuration and hooks stay as they are. Each
 * hook runs the repository's own hook of its name, with the same arguments, standard input and exit code.
 */
import { lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** The hooks that git runs for a client (githooks(5)). For the receiving side of a push git removes the variables. */
const HOOKS = [
  "applypatch-msg",
  "pre-applypatch",
  "post-applypatch",
  "pre-commit",
  "pre-merge-commit",
  "prepare-commit-msg",
  "commit-msg",
  "post-commit",
  "pre-rebase",
  "post-checkout",
  "post-merge",
  "pre-push",
  "reference-transaction",
  "pre-auto-gc",
  "post-rewrite",
  "sendemail-validate",
  "post-index-change",
];

/** The name of the hooks' folder in the runner's state folder. */
export const HOOKS_FOLDER = "hooks";

const MARK = "# A hook of Valet's runner.";
/**
 * The repository's own hooks are where the last setting of core.hooksPath says that is not this folder's, or in its git folder.
 * An empty message stays empty, so that git still refuses it, and a rebase keeps the trailers of the commits that it moves.
 */
const SCRIPT = `#!/bin/sh
${MARK} It runs the repository's own hook, and adds trailers to the messages of commits.
name=\${0##*/}
dir=\${0%/*}
own=
while IFS= read -r each; do
  [ "$each" = "$dir" ] || own=$each
done <<END
$(git config --type=path --get-all core.hooksPath </dev/null 2>/dev/null)
END
[ -n "$own" ] || own=$(git rev-parse --git-common-dir </dev/null 2>/dev/null)/hooks
hook=$own/$name
if [ ! -f "$hook" ] || [ ! -x "$hook" ] || [ "$hook" -ef "$0" ]; then hook=; fi
case $name in
prepare-commit-msg | commit-msg) ;;
*)
  [ -z "$hook" ] || exec "$hook" "$@"
  exit 0
  ;;
esac
if [ -n "$hook" ]; then "$hook" "$@" || exit $?; fi
git=$(git rev-parse --git-dir </dev/null 2>/dev/null) || exit 0
if [ -d "$git/rebase-merge" ] || [ -d "$git/rebase-apply" ]; then exit 0; fi
text=$(sed '/^. -\\{24\\} >8 -\\{24\\}$/,$d' "$1" 2>/dev/null | git stripspace --strip-comments 2>/dev/null)
[ -n "$text" ] || exit 0
file=$1
# Without a line feed at its end, the message's last line would count as a trailer.
[ -z "$(tail -c 1 "$file")" ] || echo >>"$file"
set --
[ -z "$VALET_SESSION_ID" ] || set -- "$@" --trailer "Valet-Session: $VALET_SESSION_ID"
[ -z "$VALET_MESSAGE_ID" ] || set -- "$@" --trailer "Valet-Message: $VALET_MESSAGE_ID"
[ -z "$VALET_TRACE_ID" ] || set -- "$@" --trailer "Valet-Trace: $VALET_TRACE_ID"
[ $# -eq 0 ] || git interpret-trailers --in-place --no-divider --where end --if-exists replace --if-missing add "$@" "$file" </dev/null 2>/dev/null
exit 0
`;

/**
 * Writes the hooks into a folder of the runner. A hook that a tool of the agent has put there stays.
 * @returns the folder
 * @throws errors of the file system
 */
export function makeCommitHooks(stateFolder: string): string {
  const folder = join(stateFolder, HOOKS_FOLDER);
  if (lstatSync(folder, { throwIfNoEntry: false })?.isDirectory() === false) rmSync(folder, { force: true });
  // The agent reads them, also where it is another user.
  mkdirSync(folder, { recursive: true, mode: 0o755 });
  for (const name of HOOKS) {
    const path = join(folder, name);
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats?.isFile() && !readFileSync(path, "utf8").includes(MARK)) continue;
    rmSync(path, { recursive: true, force: true });
    // Never through a link that the agent has just put there.
    writeFileSync(path, SCRIPT, { mode: 0o755, flag: "wx" });
  }
  return folder;
}
