/**
 * Run as an ordinary user: measures a child process that hides from its user, as OpenCode does, and that then writes. Prints what a meter
 * that was prepared knows of it, and what another one knows: `measures-hidden.ts FILE`.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Meter } from "../src/usage/meter.ts";

/** Says that it is there, hides (prctl(2), PR_SET_DUMPABLE) when it is told to, writes 1 MiB to the disk, and ends when it is told to. */
const HIDES = `
  use IO::Handle; use Config;
  $| = 1; print "there\n"; <STDIN>;
  syscall($Config{archname} =~ /^aarch64/ ? 167 : 157, 4, 0, 0, 0, 0);
  open(my $file, ">", $ARGV[0]) or die; print $file "x" x 1048576; $file->flush; $file->sync;
  print "written\n"; <STDIN>;
`;

const options = { group: undefined, openFiles: 1e6, firstPid: () => undefined };
const [prepared, other] = [new Meter(options), new Meter(options)];
const child = spawn("unshare", ["--user", "--map-user=1000", "perl", "-e", HIDES, process.argv[2] ?? ""], {
  stdio: ["pipe", "pipe", "inherit"],
});
const next = () => once(child.stdout, "data");
await next();
prepared.keep();
const before = { prepared: prepared.read().writtenBytes, other: other.read().writtenBytes };
child.stdin.write("\n");
await next();
const after = { prepared: prepared.read().writtenBytes, other: other.read().writtenBytes };
child.stdin.end("\n");
await once(child, "exit");
process.stdout.write(JSON.stringify({ before, after, ended: prepared.read().writtenBytes ?? null }));
