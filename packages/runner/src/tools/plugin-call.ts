/** Reads what the plugin and the tools in OpenCode's process ask of the runner, and tell it. Pure. */
import { ShellRef } from "@valet/shared/protocol/agent-shell";
import { ModelCallRef, ProviderBytes, ProviderCall, ToolCall } from "@valet/shared/protocol/child-sessions";
import { ModelRequest } from "@valet/shared/protocol/model-request";
import { z } from "zod";

/** What a body is about, with what it says of that. */
export type PluginCall =
  | { readonly about: "providerCall"; readonly providerCall: ProviderCall }
  | { readonly about: "modelRequest"; readonly modelRequest: ModelRequest }
  | { readonly about: "providerBytes"; readonly providerBytes: ProviderBytes }
  | { readonly about: "modelCall"; readonly modelCall: ModelCallRef }
  | { readonly about: "shell"; readonly shell: ShellRef }
  | { readonly about: "tool"; readonly tool: ToolCall };

const [Told, Sent, Bytes, Asked, Shell] = [
  z.object({ providerCall: ProviderCall }),
  z.object({ modelRequest: ModelRequest }),
  z.object({ providerBytes: ProviderBytes }),
  z.object({ modelCall: ModelCallRef }),
  z.object({ shell: ShellRef }),
];

/** Returns what a body is; `undefined` if it is none of these. @param body any JSON value */
export function readPluginCall(body: unknown): PluginCall | undefined {
  const told = Told.safeParse(body);
  if (told.success) return { about: "providerCall", ...told.data };
  const sent = Sent.safeParse(body);
  if (sent.success) return { about: "modelRequest", ...sent.data };
  const bytes = Bytes.safeParse(body);
  if (bytes.success) return { about: "providerBytes", ...bytes.data };
  const asked = Asked.safeParse(body);
  if (asked.success) return { about: "modelCall", ...asked.data };
  const shell = Shell.safeParse(body);
  if (shell.success) return { about: "shell", ...shell.data };
  const tool = ToolCall.safeParse(body);
  return tool.success ? { about: "tool", tool: tool.data } : undefined;
}
