/** Limits of batches, and the default channel. */
import { ATTACHMENT_LIMITS, MAX_MESSAGE_BYTES } from "@valet/shared/protocol/message-limits";

/** The limits of a batch, which must fit into one frame of the link with all other fields. */
export const BATCH_LIMITS = { messages: 100, bytes: MAX_MESSAGE_BYTES, attachments: ATTACHMENT_LIMITS.files } as const;

/** The channel of messages that name none. */
export const MAIN_CHANNEL = "main";
