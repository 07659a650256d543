import { hideEnvironment } from "@valet/sandbox";

/**
 * Prepares this process to host agents. Files that it creates are readable by their owner only. Its environment, which
 * holds keys, is cleared, so that neither child processes nor (on Linux) agents that read /proc see the keys.
 * @returns the environment as it was
 */
export function becomeHost(): Readonly<Record<string, string | undefined>> {
  process.umask(0o077);
  const env = { ...process.env };
  hideEnvironment("MINIFLARE_WORKERD_PATH");
  return env;
}
