/**
 * The relays at a wall's side, in a process of the wall's network. It still sees the machine's files, so Unix sockets connect it with
 * the runner. Reads one JSON object a line, `{"from": …, "to": …}`, and answers each with a line: `ok`, or the code of the error. A
 * second relay from the same place replaces the first. Ends with its standard input, which the runner holds open.
 */
import { createInterface } from "node:readline";
import { type Endpoint, type Relay, startRelay } from "./relay.ts";

/** Only the runner writes orders. To load a library that validates them would take longer than all else. */
interface Order {
  readonly from: Endpoint;
  readonly to: Endpoint;
}

const relays = new Map<string, Relay>();

async function obey(line: string): Promise<string> {
  try {
    const { from, to }: Order = JSON.parse(line);
    const place = JSON.stringify(from);
    relays.get(place)?.stop();
    relays.set(place, await startRelay(from, to));
    return "ok";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "failed";
  }
}

const say = (line: string) => process.stdout.write(`${line}\n`);
say("ready");
for await (const line of createInterface({ input: process.stdin })) say(await obey(line));
process.exit(0);
