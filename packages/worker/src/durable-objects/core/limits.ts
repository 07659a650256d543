/** What a session takes, and where. */

/** A batch goes over the link in one frame, with room for what stands around it. */
export const BATCH_LIMITS = { messages: 100, bytes: 400 * 1024, attachments: 20 } as const;

/** Where messages go that name no channel. */
export const MAIN_CHANNEL = "main";
