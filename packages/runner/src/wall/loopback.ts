/** Says where on the machine's loopback interface a URL leads. Pure. */
import { isIPv4 } from "node:net";

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

/** Returns the server that a URL names; `undefined` if it is none of this machine's loopback interface, or no URL. */
export function loopbackServer(url: string): LoopbackServer | undefined {
  if (!URL.canParse(url)) return undefined;
  const { hostname, port: given, protocol } = new URL(url);
  const port = given === "" ? DEFAULT_PORTS[protocol] : Number(given);
  if (port === undefined || port === 0) return undefined;
  const name = hostname.toLowerCase().replace(/\.$/, "");
  if (name === "localhost" || name.endsWith(".localhost")) {
    return { hosts: ["127.0.0.1", "::1"], target: "localhost", port };
  }
  if (name === "[::1]") return { hosts: ["::1"], target: "::1", port };
  // Connecting to it means this machine.
  if (name === "0.0.0.0") return { hosts: ["127.0.0.1"], target: "127.0.0.1", port };
  if (isIPv4(name) && name.startsWith("127.")) return { hosts: [name], target: name, port };
  return undefined;
}
