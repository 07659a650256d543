/** What happens on the link to the runner that concerns other rooms, and what is left when it ends. */
import type { LinkProtocols } from "@valet/shared/protocol/link-protocol";
import type { FromRunner, FromRunnerOf } from "@valet/shared/protocol/runner-link";

export type RunnerFrame = Exclude<FromRunner, { type: "hello" | "spans" }>;

/** An event on the link that has consequences in other rooms. */
export type LinkEvent =
  /** A runner has introduced itself and its link counts. `isBack`: the link was down meanwhile. */
  | { readonly type: "hello"; readonly hello: FromRunnerOf<"hello">; readonly isBack: boolean }
  | { readonly type: "frame"; readonly frame: RunnerFrame }
  /** A runner of this generation was refused that speaks another version of the protocol. */
  | { readonly type: "foreign-runner"; readonly protocols: LinkProtocols }
  /** The link is down; the grace period begins. `isClosed`: it was closed just now, rather than found silent. */
  | { readonly type: "link-down"; readonly instanceId: string | undefined; readonly isClosed: boolean }
  /** The grace period is over. */
  | { readonly type: "link-gone" };

/** The runners of a generation whose link has ended. */
export interface EndedRunners {
  readonly instances: readonly string[];
  /** The one that had the link last, and when it was last heard, epoch ms, where that is known. */
  readonly instanceId?: string | undefined;
  readonly lastSeenMs?: number | undefined;
}
