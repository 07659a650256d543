/** What the agent tries over the network, and what waits for it on this machine. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/** Servers without a password that give away a canary to whoever connects. */
export interface Bait {
  /** Its port on the loopback interface. */
  readonly port: number;
  /** The name of its abstract Unix socket. */
  readonly abstract: string;
  close(): void;
}

export async function plantBait(canary: string): Promise<Bait> {
  const abstract = `valet-escape-${crypto.randomUUID()}`;
  const give = () =>
    createServer((socket) => {
      socket.on("error", () => {});
      socket.end(`HTTP/1.0 200 OK\r\n\r\n${canary}\n`);
    });
  const tcp = give().listen(0, "127.0.0.1");
  const unix = give().listen(`\0${abstract}`);
  await Promise.all([once(tcp, "listening"), once(unix, "listening")]);
  const close = () => {
    tcp.close();
    unix.close();
  };
  return { port: (tcp.address() as AddressInfo).port, abstract, close };
}

/**
 * Asks the bait by each way to this machine, and the addresses of clouds' metadata; then lists the ports on which something listens
 * in the network that it sees. `gateways` are where this machine might answer beside its loopback interface. Prints what answers, `metadata` with curl's exit codes, and `open` with each port.
 */
export function tryNetwork({ port, abstract }: Bait, gateways = ["10.0.2.2", "198.18.255.2", "198.18.255.3"]): string {
  const hosts = ["127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1.2.3", ...gateways];
  const metadata = ["169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "192.0.0.192"];
  return [
    ...hosts.map((host) => `curl -s --noproxy '*' --max-time 3 http://${host}:${port}/`),
    ...metadata.map((host) => `curl -s --noproxy '*' --max-time 3 http://${host}/ >/dev/null; echo "metadata $?"`),
    `perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Peer => "\\0${abstract}") and print <$s>'`,
    String.raw`perl -ne 'print "open ", hex $1, "\n" if /^\s*\d+: \w+:(\w{4}) \S+ 0A /' /proc/net/tcp /proc/net/tcp6`,
  ].join("; ");
}
