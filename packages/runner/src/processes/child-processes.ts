/** What is done with the processes that the runner starts, whatever they are. */
import { tail } from "@valet/shared/text";
import { SecretValues } from "../secrets/secret-values.ts";

/** Ends every process of the group that this one leads. */
export function killGroup(pid: number | undefined, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // Nobody is left in the group.
  }
}

/**
 * Gathers what is written to the streams, in the order in which it comes.
 * @param secrets what is taken out of it, before it is cut
 * @returns what gives the last `max` UTF-16 code units of it
 */
export function collectEnd(
  streams: readonly (NodeJS.ReadableStream | null)[],
  max: number,
  secrets = new SecretValues(),
): () => string {
  let text = "";
  const redactors = streams.map((stream) => {
    const redactor = secrets.stream();
    stream?.setEncoding("utf8");
    stream?.on("data", (chunk: string) => {
      text = tail(text + redactor.push(chunk), max);
    });
    return redactor;
  });
  return () => {
    text = tail(text + redactors.map((redactor) => redactor.end()).join(""), max);
    return text;
  };
}
