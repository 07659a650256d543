/**
 * What the agent asks a person for, before it does it. By default it asks for nothing: the sandbox is the boundary. Workflows' own commands
 * are not asked for, since a person wrote them.
 */
import { z } from "zod";

/** Kinds of what an agent does, independent of the agent: its commands, changes of files by its tools, requests to web pages. */
export const ASKED_KINDS = ["commands", "edits", "web"] as const;
export type AskedKind = (typeof ASKED_KINDS)[number];

export const AskBefore = z.array(z.enum(ASKED_KINDS)).max(ASKED_KINDS.length);
