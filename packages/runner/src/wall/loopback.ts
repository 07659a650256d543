/** Says where on the machine's loopback interface a URL leads. Pure. */
import { isIPv4, isIPv6 } from "node:net";
import { isScpLike } from "@valet/shared/protocol/repo-url";

/** A server on the loopback interface. */
export interface LoopbackServer {
  /** The addresses by which a program may mean it. */
  readonly hosts: readonly string[];
  /** The address or name at which the machine finds it. */
  readonly target: string;
  readonly port: number;
}

/** Of the schemes that name a server of models or of git. */
const DEFAULT_PORTS: Readonly<Record<string, number>> = { "http:": 80, "https:": 443, "ssh:": 22, "git:": 9418 };

/**
 * Returns the server that a URL, or git's `user@host:path`, names; `undefined` if it is none of this machine's loopback interface, or
 * neither of them.
 * @param hostsFile the machine's hosts(5), which may give a loopback address other names, such as the machine's own
 */
export function loopbackServer(url: string, hostsFile = ""): LoopbackServer | undefined {
  const { name, port } = serverOf(url) ?? {};
  if (name === undefined || port === undefined || port === 0) return undefined;
  if (name === "localhost" || name.endsWith(".localhost")) {
    return { hosts: ["127.0.0.1", "::1"], target: "localhost", port };
  }
  const addresses = isLoopback(name) ? [name] : addressesOf(name, hostsFile).filter(isLoopback);
  // A program behind the wall reads the same file, and tries the addresses in their order.
  return addresses[0] === undefined ? undefined : { hosts: addresses, target: addresses[0], port };
}

function serverOf(url: string): { readonly name: string; readonly port: number | undefined } | undefined {
  if (isScpLike(url)) return { name: plainName(url.slice(url.indexOf("@") + 1, url.indexOf(":"))), port: 22 };
  if (!URL.canParse(url)) return undefined;
  const { hostname, port, protocol } = new URL(url);
  return { name: plainName(hostname), port: port === "" ? DEFAULT_PORTS[protocol] : Number(port) };
}

/** Returns a host's name or address in one way of writing. Connecting to the unspecified address means this machine. */
function plainName(host: string): string {
  const name = host
    .toLowerCase()
    .replace(/\.$/, "")
    .replace(/^\[|\]$/g, "");
  if (name === "0.0.0.0") return "127.0.0.1";
  return name === "::" ? "::1" : name;
}

function isLoopback(address: string): boolean {
  return address === "::1" || (isIPv4(address) && address.startsWith("127."));
}

function addressesOf(name: string, hostsFile: string): string[] {
  if (isIPv4(name) || isIPv6(name)) return [];
  return hostsFile.split("\n").flatMap((line) => {
    const [address = "", ...names] = line.replace(/#.*/, "").trim().toLowerCase().split(/\s+/);
    return names.includes(name) ? [address] : [];
  });
}
