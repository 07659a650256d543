/**
 * Makes what no sandbox may reach unreachable from a container, before anything of a session runs there. Rules of the container's own
 * network namespace do it, so it works with each engine, and nothing on its machine has to be set up. Pure.
 */
import { UNREACHABLE, UNREACHABLE_IPV6 } from "@valet/shared/protocol/sandbox-network";

/** What a container has until the guard has given it up for good: to set the rules, and to give up capabilities. */
export const GUARD_CAPABILITIES = ["NET_ADMIN", "SETPCAP"] as const;

const DNS_PORT = 53;
/** Below those of the table of routes, which are 32766 and 32767. */
const [FIRST, SECOND, THIRD] = [100, 101, 102];
/** A table of routes that nothing else uses. */
const TABLE = 101;

/** On some clouds such an address is that of the name server, too, which an engine may ask from within the container. */
const rulesFor = (addresses: readonly string[]) =>
  addresses
    .flatMap((each) => [
      `rule add priority ${FIRST} to ${each} dport ${DNS_PORT} lookup main`,
      `rule add priority ${THIRD} to ${each} unreachable`,
    ])
    .join("\n");

/**
 * A socket may be bound to an interface, by anybody. If no route is found for it, Linux takes the address for one that is on the interface's
 * link (IPv4 only), where the host or its neighbour may answer. So for such sockets there is a route, by which the address is the
 * container's own. One by way of a neighbour that does not exist would not be found with `SO_DONTROUTE`.
 */
const ofInterface = UNREACHABLE.flatMap((each) => [
  `route append local ${each} dev $name table ${TABLE}`,
  `rule add priority ${SECOND} to ${each} oif $name lookup ${TABLE}`,
]).join("\n");

const GIVEN_UP = GUARD_CAPABILITIES.map((name) => `-${name.toLowerCase()}`).join(",");

/** Fails closed, but for IPv6 in a container that has no address of it. */
const SCRIPT = `
refuse() { echo "valet: $1" >&2; exit 78; }
command -v ip >/dev/null || refuse "the image has no program ip; make it anew with valet image build"
ip -batch - <<<'${rulesFor(UNREACHABLE)}' || refuse "metadata addresses cannot be made unreachable"
links=$(ip -oneline link show up) || refuse "the network's interfaces cannot be listed"
while IFS=': @' read -r _ name _; do
  [ "$name" = lo ] || ip -batch - <<<"${ofInterface}" || refuse "metadata addresses cannot be made unreachable by interface"
done <<<"$links"
ip -6 -batch - <<<'${rulesFor(UNREACHABLE_IPV6)}' 2>/dev/null || ! grep -qv ' lo$' /proc/net/if_inet6 2>/dev/null ||
  refuse "metadata addresses of IPv6 cannot be made unreachable"
exec setpriv --bounding-set=${GIVEN_UP} --inh-caps=-all --ambient-caps=-all -- "$@"
`;

/** Returns the command that sets the rules, gives up {@link GUARD_CAPABILITIES} for all that follows, and becomes `command`. */
export function guardedCommand(command: readonly string[]): [string, ...string[]] {
  return ["bash", "-c", SCRIPT, "valet-network-guard", ...command];
}
