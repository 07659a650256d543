/**
 * Copies all files of one folder into another, inside a container, whatever an agent has left there. Nothing that is there may make
 * the copy fail: a sandbox without a snapshot cannot sleep. Pure.
 */

/** What a copy has. */
export interface CopiedFiles {
  readonly sizeBytes: number;
  /** How many files it lacks: sockets and devices, which are of no use to a later process, and what could not be read. */
  readonly leftOut: number;
}

/**
 * cp(1) names entries by their paths, which the kernel refuses beyond 4095 bytes. So what is in folders with paths of this length is
 * copied once more from there, where the paths begin anew. Names have at most 255 bytes: each entry that cp has missed is in such a
 * folder, which cp has made, and which is at least {@link MIN_DEPTH} deep.
 */
const LONG_PATH = 3800;
const MIN_DEPTH = 15;

/** Errors of cp(1) about a single entry. Any other one, or another end of cp, makes the copy useless. */
const OF_ONE_ENTRY = "Permission denied|Operation not permitted|File name too long";

/**
 * `copy` copies from the open folder 3 into the open folder 4: folders that are open have short paths, however deep they are. The
 * script prints the size, and the number of entries that the copy lacks, which only a comparison knows.
 */
const SCRIPT = `
set -o pipefail
export LC_ALL=C
long=$(printf '?%.0s' {1..${LONG_PATH}})'*'
copy() {
  local folder
  cp --archive --reflink=auto /proc/self/fd/3/. /proc/self/fd/4/ 2>&1 | grep -qvE ': (${OF_ONE_ENTRY})$'
  [[ "\${PIPESTATUS[*]}" == [01]' 1' ]] || return 1
  while IFS= read -r -d '' folder; do
    [ -d "/proc/self/fd/4/$folder" ] || continue
    (exec 3<"/proc/self/fd/3/$folder" 4<"/proc/self/fd/4/$folder" && copy) </dev/null || return 1
  done < <(find /proc/self/fd/3/ -mindepth ${MIN_DEPTH} -type d -path "$long" -prune -printf '%P\\0')
  wait $!
}
count() { find "$1" -printf x | wc -c; }
exec 3<"$1" 4<"$2" && copy && find "$2" -type s,b,c -delete && sync -f "$2" || exit 1
size=$(du -sb "$2") && from=$(count "$1") && to=$(count "$2") || exit 1
echo "\${size%%[[:space:]]*} $((from - to))"
`;

/** Returns the command that copies what is in `from` to the empty folder `to`; both paths are absolute. */
export function copyCommand(from: string, to: string): [string, ...string[]] {
  return ["bash", "-c", SCRIPT, "valet-copy", from, to];
}

/** Reads what the command has printed, in whose frames the engine sends it. */
export function readCopied(output: Buffer): CopiedFiles | undefined {
  const [, size, leftOut] = /(\d+) (\d+)\s*$/.exec(output.toString("latin1")) ?? [];
  if (size === undefined) return undefined;
  // Sparse files may have more bytes together than a number can tell apart.
  return { sizeBytes: Math.min(Number(size), Number.MAX_SAFE_INTEGER), leftOut: Number(leftOut) };
}
