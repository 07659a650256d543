/** The copy of a volume's files, here with folders of this machine. */
import { execFileSync, spawnSync } from "node:child_process";
import { expect, onTestFinished, test } from "vitest";
import { temporaryFolder } from "../../test/broker.ts";
import { copyCommand, readCopied } from "./copy-files.ts";

/** Makes files by a script, and copies them. */
function copyOf(script: string, limit = ":") {
  const [from, to] = [temporaryFolder(), temporaryFolder()];
  // Node cannot remove paths that are too long.
  onTestFinished(() => void execFileSync("rm", ["--recursive", "--force", from, to]));
  execFileSync("bash", ["-c", script], { cwd: from });
  const { status, stdout } = spawnSync("bash", ["-c", `${limit}; exec "$@"`, "bash", ...copyCommand(from, to)]);
  const inCopy = (look: string) => execFileSync("bash", ["-c", look], { cwd: to, encoding: "latin1" });
  return { from, status, copied: readCopied(stdout), inCopy };
}

/** Makes `$2` folders within each other, and enters them in few steps: in each, bash looks at all folders above. */
const DIG = `export LC_ALL=C
dig() {
  local left path step=$((3900 / (\${#1} + 1)))
  for ((left = $2; left > 0; left -= step)); do
    path=$(printf "$1/%.0s" $(seq $((left < step ? left : step))))
    mkdir -p "$path" && cd -P "$path" || exit 1
  done
}`;
/** Describes all entries: names, types, modes, links, times, owners, sizes and blocks. */
const DESCRIBE = String.raw`find . -mindepth 1 -printf '%d %f %y %m %n %T@ %l %U:%G ' \( ! -type d -printf '%s %b' -o -true \) -printf '\0' | LC_ALL=C sort -z`;

test("paths of any length, odd names, links, FIFOs, holes, modes and times are copied", () => {
  const { from, copied, status, inCopy } = copyOf(`${DIG}
    name=$(printf 'd%.0s' {1..200})
    (dig "$name" 25; echo deep > file; ln file link; ln -s nowhere soft; chmod 640 file; touch -d @7 file; mkfifo fifo; chmod 700 .; touch -d @5 .)
    (dig "$name" 19; echo half > half; mkdir -p "$name/$name/beside"; echo x > "$name/$name/beside/x")
    (dig "$(printf 'odd\\n\\377%.0s' {1..50})" 45; touch $'\\n' "$(printf '\\377')")
    (dig "$(printf 'e%.0s' {1..255})" 17; touch {1..9})
    (dig "$(printf 'a%.0s' {1..20})" 450; echo bottom > file)
    truncate -s 1G sparse; printf x >> sparse; chmod 444 sparse; mkdir -p ro/in; chmod 555 ro`);
  expect({ status, leftOut: copied?.leftOut }).toEqual({ status: 0, leftOut: 0 });
  const original = execFileSync("bash", ["-c", DESCRIBE], { cwd: from, encoding: "latin1" });
  expect(original).toMatch(/\0\d+ file f 640 2 7\.0/);
  expect(inCopy(DESCRIBE) === original).toBe(true);
  expect(copied?.sizeBytes).toBeGreaterThan(2 ** 30);
}, 60_000);

test("sockets are left out and counted, wherever they are", () => {
  const socket = `${process.execPath} -e 'require("net").createServer().listen("socket", () => process.kill(process.pid, "SIGKILL"))' || true`;
  const { status, copied, inCopy } = copyOf(`${DIG}
    ${socket}; echo kept > kept
    dig "$(printf 'd%.0s' {1..200})" 25; ${socket}`);
  expect({ status, leftOut: copied?.leftOut }).toEqual({ status: 0, leftOut: 2 });
  expect(inCopy("find . ! -type d -printf '%P '")).toBe("kept ");
});

test.each([
  ["an error of the disk", "ulimit -f 8; trap '' XFSZ"],
  ["the end of cp", "ulimit -f 8"],
])("%s fails the copy", (_, limit) => {
  const { status, copied } = copyOf("head -c 64K /dev/zero > file; mkdir folder; touch folder/other", limit);
  expect({ status, copied }).toEqual({ status: 1, copied: undefined });
});

test("a size that no number has exactly is still one that the broker may answer with", () => {
  expect(readCopied(Buffer.from("\u0001\0\0\0\0\0\0\u000718446744073709551615 3\n"))).toEqual({
    sizeBytes: Number.MAX_SAFE_INTEGER,
    leftOut: 3,
  });
});
