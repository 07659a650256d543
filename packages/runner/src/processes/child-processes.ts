/** Helpers for the processes that the runner starts. */
import { tail } from "@valet/shared/text";
import { SecretValues } from "../secrets/secret-values.ts";

/** Sends the signal to every process of the group that this process leads. */
export function killGroup(pid: number | undefined, signal: NodeJS.Signals = "SIGKILL"): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // The group has no process left.
  }
}

/**
 * Collects the output of the streams, in order of arrival.
 * @param secrets are redacted before the output is cut
 * @returns a function that returns the last `max` UTF-16 code units of the output
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
