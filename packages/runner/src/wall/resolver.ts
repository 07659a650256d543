/** The resolver's configuration behind a wall with a network of its own. Pure. */

/** Returns resolv.conf(5) with this name server in place of others, and the machine's other settings. */
export function resolverWith(server: string, machine: string): string {
  const kept = machine.split("\n").filter((line) => /^\s*(?:search|domain|options|sortlist)\s/.test(line));
  return `${[`nameserver ${server}`, ...kept].join("\n")}\n`;
}
