/** What the broker tries, and the runner does, to give a sandbox of the driver `local` a network of its own. */

/** Whether sandboxes have a network of their own, or share that of the broker's machine. */
export const NETWORKS = ["own", "shared"] as const;
export type Network = (typeof NETWORKS)[number];

/** With absolute paths, for the reason that walls have them. */
export const NETWORK_PROGRAMS = {
  slirp: "/usr/bin/slirp4netns",
  nsenter: "/usr/bin/nsenter",
  unshare: "/usr/bin/unshare",
  prlimit: "/usr/bin/prlimit",
} as const;

/**
 * The sandbox's addresses. They are of the range for measurements (RFC 2544), which is nobody's: the default of slirp4netns is in a
 * range that users' git hosts may have.
 */
export const SLIRP = { network: "198.18.255.0/24", resolver: "198.18.255.3" } as const;

/**
 * What a sandbox cannot reach: link-local addresses, at which clouds answer with credentials of the machine, and those at which
 * Alibaba, Azure and Oracle do. A sandbox has no IPv6 beyond its own loopback interface.
 */
export const UNREACHABLE = ["169.254.0.0/16", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.192/32"] as const;

/**
 * The same for a network by slirp4netns, and the loopback addresses: a socket that is bound to the network's device (SO_BINDTODEVICE, which
 * needs no privilege) passes over the namespace's own loopback interface, and slirp4netns would connect it to the machine's, even with
 * `--disable-host-loopback`. With such a route the kernel takes the address of a bound socket for a neighbour's, and slirp4netns answers for
 * none but its own. To other sockets the namespace's own addresses come first.
 */
export const UNREACHABLE_BY_SLIRP = [...UNREACHABLE, "127.0.0.0/8"] as const;

/** The metadata addresses of IPv6, for containers, whose network may have it: of Amazon, Google, Oracle and OpenStack. */
export const UNREACHABLE_IPV6 = [
  ...["fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128", "fd00:c1::a9fe:a9fe/128", "fe80::a9fe:a9fe/128"],
] as const;

/**
 * How many descriptors slirp4netns may have: each connection takes one and up to 140 KB, outside the sandbox's own limits. It refuses
 * what is beyond, and serves the others on.
 */
const SLIRP_DESCRIPTORS = 1024;

/**
 * Returns the command with which slirp4netns(1) connects the network namespace of a process, without the machine's loopback.
 *
 * Its own sandbox unmounts the root that it has left. If root starts it, that unmounts what is shared of the machine's mounts, too:
 * `/run/netns`, and with it the networks of all containers of Podman. So root gives it mounts of its own first, which are private.
 * Those of a user are never shared with the machine's.
 */
export function slirpCommand(
  pid: number,
  { readyFd, exitFd }: { readyFd: number; exitFd: number },
  isRoot: boolean,
): [string, ...string[]] {
  const { slirp, unshare, prlimit } = NETWORK_PROGRAMS;
  return [
    ...([prlimit, `--nofile=${SLIRP_DESCRIPTORS}:${SLIRP_DESCRIPTORS}`] as [string, ...string[]]),
    ...(isRoot ? [unshare, "--mount", "--propagation=private", slirp] : [slirp]),
    ...["--configure", "--mtu=65520", `--cidr=${SLIRP.network}`, "--disable-host-loopback"],
    ...["--enable-sandbox", "--enable-seccomp", `--ready-fd=${readyFd}`, `--exit-fd=${exitFd}`],
    ...[String(pid), "tap0"],
  ];
}
