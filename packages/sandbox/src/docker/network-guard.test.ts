/** Metadata addresses that a neighbour has, such as the host of a container, in network namespaces of this machine. */
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { expect, onTestFinished, test } from "vitest";
import { guardedCommand } from "./network-guard.ts";

const succeeds = (program: string, ...args: string[]) => spawnSync(program, args).status === 0;
const NAMESPACE = `valet-guard-${process.pid}`;

function findMissing(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "it needs Linux and root";
  if (!succeeds("perl", "-e", "1")) return "perl is missing";
  if (!succeeds("ip", "netns", "add", NAMESPACE)) return "no network namespaces";
  execFileSync("ip", ["netns", "delete", NAMESPACE]);
  return undefined;
}

const ADDRESSES = ["169.254.170.23", "fd00:ec2::254", "fe80::a9fe:a9fe"];

const SERVER = `
use Socket; use strict;
for my $family (AF_INET, AF_INET6) {
  socket(my $server, $family, SOCK_STREAM, 0) or die;
  setsockopt($server, 41, 26, pack("i", 1)) if $family == AF_INET6;
  my $any = $family == AF_INET ? pack_sockaddr_in(80, INADDR_ANY) : pack_sockaddr_in6(80, "\\0" x 16);
  bind($server, $any) or die; listen($server, 9) or die; push @main::servers, $server;
}
$| = 1; print "ready\\n"; sleep 600;
`;

/** Tries each address by a socket that is unbound, bound to the interface (`SO_BINDTODEVICE`), and told not to use gateways (`SO_DONTROUTE`). */
const CLIENT = `
use Socket; use Errno; use strict;
for my $address (@ARGV) { for my $device ("", "inner") { for my $direct (0, 1) {
  my $family = $address =~ /:/ ? AF_INET6 : AF_INET;
  socket(my $socket, $family, SOCK_STREAM, 0) or die;
  setsockopt($socket, SOL_SOCKET, 25, $device) or die if $device;
  setsockopt($socket, SOL_SOCKET, 5, pack("i", $direct)) or die;
  my $packed = Socket::inet_pton($family, $address);
  my $to = $family == AF_INET ? pack_sockaddr_in(80, $packed) : pack_sockaddr_in6(80, $packed, $address =~ /^fe80/ ? $ENV{LINK} : 0);
  local $SIG{ALRM} = sub { print "slow: " }; alarm 2;
  print "$address $device $direct\\n" if connect($socket, $to) || $!{EINTR};
} } }
`;

const missing = findMissing();
const NOT_REACHED = "what a neighbour serves there is not reached, whatever a socket is bound to";

test.skipIf(missing !== undefined)(
  `${NOT_REACHED}${missing === undefined ? "" : ` (skipped: ${missing})`}`,
  async () => {
    const [inner, outer] = [`${NAMESPACE}-in`, `${NAMESPACE}-out`];
    for (const each of [inner, outer]) {
      execFileSync("ip", ["netns", "add", each]);
      onTestFinished(() => void execFileSync("ip", ["netns", "delete", each]));
    }
    execFileSync("ip", ["-batch", "-"], {
      input: `link add inner netns ${inner} type veth peer name outer netns ${outer}`,
    });
    const links = (own: string, number: number) => `address add 10.77.0.${number}/24 dev ${own}
address add fd77::${number}/64 dev ${own} nodad
link set lo up
link set ${own} up`;
    const more = ADDRESSES.map(
      (each) =>
        `address add ${each}/${each.includes(":") ? "128" : "32"} dev outer${each.includes(":") ? " nodad" : ""}`,
    );
    execFileSync("ip", ["-netns", outer, "-batch", "-"], { input: `${links("outer", 1)}\n${more.join("\n")}\n` });
    const routes = "route add default via 10.77.0.1\n-6 route add default via fd77::1";
    execFileSync("ip", ["-netns", inner, "-batch", "-"], { input: `${links("inner", 2)}\n` });
    for (const each of routes.split("\n")) execFileSync("ip", ["-netns", inner, ...each.split(" ")]);
    const server = spawn("ip", ["netns", "exec", outer, "perl", "-e", SERVER], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = once(server, "exit");
    onTestFinished(async () => {
      server.kill("SIGKILL");
      await ended;
    });
    await once(server.stdout, "data");
    const [link] = execFileSync("ip", ["-netns", inner, "-oneline", "link", "show", "inner"], {
      encoding: "utf8",
    }).split(":");
    const run = (command: readonly string[]) =>
      execFileSync("ip", ["netns", "exec", inner, ...command], {
        encoding: "utf8",
        env: { ...process.env, LINK: link },
      });
    const client = ["setpriv", "--reuid=65534", "--clear-groups", "perl", "-e", CLIENT, ...ADDRESSES];
    // Without the guard each is reached, but for those that only a gateway has.
    const reached = run(client).split("\n");
    for (const each of ADDRESSES) expect(reached).toContain(`${each} inner 0`);
    expect(run(guardedCommand(client))).toBe("");
  },
  60_000,
);
