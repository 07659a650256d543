import { expect, test } from "vitest";
import { inRooms } from "../../../test/rooms.ts";
import { Conversation } from "./conversation.ts";

const part = (id: string, text: string) => ({ type: "text", id, text }) as const;

test("an unfinished answer outlives an end that was rolled back, with the parts that are stored nowhere", () =>
  inRooms((rooms) => {
    const { sql, jobs, workflows, line, transactions } = rooms;
    const conversation = new Conversation(sql, jobs, workflows, line, transactions);
    rooms.message("m1");
    const attemptId = rooms.accepted("m1");
    const parts = [part("p1", "first"), part("p2", "second")];
    const shown = () => conversation.view(rooms.job("m1")).parts;
    for (const each of parts) rooms.run(() => conversation.addPart(attemptId, each));
    const isFull = () =>
      rooms.run(() => {
        conversation.breakOff(attemptId);
        throw new Error("database or disk is full");
      });
    expect(isFull).toThrow("full");
    expect(shown()).toEqual(parts);
    rooms.run(() => conversation.breakOff(attemptId));
    expect(shown()).toEqual(parts);
    expect(new Conversation(sql, jobs, workflows, line, transactions).view(rooms.job("m1")).parts).toEqual(parts);
  }));
