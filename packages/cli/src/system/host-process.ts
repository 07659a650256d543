import { hideEnvironment } from "@valet/sandbox";

/**
 * What a process does first that is going to host agents: files that it makes are its owner's alone, and its environment, which
 * holds keys, is taken from it, so that neither processes that it starts nor (on Linux) agents that read /proc find them there.
 * @returns the environment as it was
 */
export function becomeHost(): Readonly<Record<string, string | undefined>> {
  process.umask(0o077);
  const env = { ...process.env };
  hideEnvironment("MINIFLARE_WORKERD_PATH");
  return env;
}
