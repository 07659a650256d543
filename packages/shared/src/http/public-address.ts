/**
 * Which addresses and names of hosts are public: reachable for anybody, and of nobody's own network. Pure.
 *
 * A URL writes an address in many ways (`0x7f.1`, `2130706433`, `[::ffff:127.0.0.1]`, `127.0.0.1.`). The URL parser brings them into
 * one form (WHATWG URL, "host parsing"), so only that form is examined here.
 */

/** IPv4 networks that are not public (IANA, "IPv4 Special-Purpose Address Registry"; RFC 5771 for multicast). */
const SPECIAL_IPV4 = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
].map(ipv4Network);

/**
 * Parts of 2000::/3, outside of which no address is global unicast (RFC 4291, section 2.4), that are not public either (IANA, "IPv6
 * Special-Purpose Address Registry"). 2001::/23 has Teredo, and 2002::/16 is 6to4: both hold an IPv4 address.
 */
const SPECIAL_IPV6: readonly (readonly [start: bigint, bits: number])[] = [
  [0x2001n << 112n, 23],
  [0x20010db8n << 96n, 32],
  [0x2002n << 112n, 16],
  [0x3fffn << 112n, 20],
];
const GLOBAL_UNICAST: readonly [start: bigint, bits: number] = [0x2000n << 112n, 3];

/** Names that a local network gives (RFC 6761, RFC 6762, RFC 8375, and the private-use names of ICANN and of common routers). */
const LOCAL_SUFFIXES = [
  "localhost",
  "localdomain",
  "local",
  "internal",
  "intranet",
  "private",
  "corp",
  "home",
  "lan",
  "home.arpa",
  "onion",
];

/** Returns whether this text is an IPv4 or IPv6 address of the public Internet. An IPv6 address may be in brackets. */
export function isPublicAddress(address: string): boolean {
  const ipv4 = ipv4Number(address);
  if (ipv4 !== undefined) return !SPECIAL_IPV4.some(({ start, size }) => ipv4 >= start && ipv4 < start + size);
  const ipv6 = ipv6Number(address);
  return ipv6 !== undefined && isIn(ipv6, GLOBAL_UNICAST) && !SPECIAL_IPV6.some((network) => isIn(ipv6, network));
}

/** Returns whether this text is an address and not a name. */
export function isAddress(host: string): boolean {
  return ipv4Number(host) !== undefined || ipv6Number(host) !== undefined;
}

/** Returns whether the host of a URL, as the URL parser writes it, is this machine. */
export function isLoopbackHost(hostname: string): boolean {
  const host = withoutDot(hostname);
  return host === "localhost" || host.endsWith(".localhost") || host === "[::1]" || /^127(?:\.\d+){3}$/.test(host);
}

/** Returns whether the host of a URL, as the URL parser writes it, may be public: a public address, or a name that is not local. */
export function isPublicHost(hostname: string): boolean {
  if (isAddress(hostname)) return isPublicAddress(hostname);
  const name = withoutDot(hostname).toLowerCase();
  const labels = name.split(".");
  if (labels.length < 2 || labels.includes("")) return false;
  return !LOCAL_SUFFIXES.some((suffix) => name.endsWith(`.${suffix}`));
}

/** A name that ends with a dot is the same name (RFC 1034, section 3.1). */
const withoutDot = (hostname: string) => hostname.replace(/\.$/, "");

function ipv4Network(text: string): { readonly start: number; readonly size: number } {
  const [address = "", bits] = text.split("/");
  return { start: ipv4Number(address) as number, size: 2 ** (32 - Number(bits)) };
}

function ipv4Number(text: string): number | undefined {
  if (!/^\d{1,3}(?:\.\d{1,3}){3}$/.test(text)) return undefined;
  const bytes = text.split(".").map(Number);
  return bytes.some((byte) => byte > 255) ? undefined : bytes.reduce((sum, byte) => sum * 256 + byte, 0);
}

function ipv6Number(text: string): bigint | undefined {
  if (!text.includes(":")) return undefined;
  // The parser writes an embedded IPv4 address as hexadecimal groups. It knows no zones.
  const host = URL.parse(`http://[${text.replace(/^\[(.*)\]$/, "$1")}]/`)?.hostname.slice(1, -1);
  if (host === undefined) return undefined;
  const [head = "", tail] = host.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  const before = groups(head);
  const after = groups(tail ?? "");
  const zeros = Array<string>(8 - before.length - after.length).fill("0");
  return [...before, ...zeros, ...after].reduce((sum, group) => (sum << 16n) + BigInt(`0x${group}`), 0n);
}

function isIn(address: bigint, [start, bits]: readonly [start: bigint, bits: number]): boolean {
  const rest = BigInt(128 - bits);
  return address >> rest === start >> rest;
}
