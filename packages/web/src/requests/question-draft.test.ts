import { expect, test } from "vitest";
import { answersOf, choose, EMPTY_DRAFT, isSimple } from "./question-draft.ts";

const option = (label: string) => ({ label, description: "" });
const one = { question: "Which?", header: "", options: [option("A"), option("B")] };
const many = { ...one, multiple: true };

test("of one answer, another option replaces the first; of several, each is added, and can be taken back", () => {
  expect(choose(choose(EMPTY_DRAFT, one, "A"), one, "B").chosen).toEqual(["B"]);
  expect(choose(choose(EMPTY_DRAFT, one, "A"), one, "A").chosen).toEqual([]);
  const both = choose(choose(EMPTY_DRAFT, many, "A"), many, "B");
  expect(both.chosen).toEqual(["A", "B"]);
  expect(choose(both, many, "A").chosen).toEqual(["B"]);
});

test("nothing is sent until each question has an answer", () => {
  const answered = choose(EMPTY_DRAFT, one, "A");
  expect(answersOf([one, many], [answered])).toBeUndefined();
  expect(answersOf([one, many], [answered, { chosen: [], own: "  " }])).toBeUndefined();
  expect(answersOf([one, many], [answered, { chosen: ["B"], own: " and C " }])).toEqual([["A"], ["B", "and C"]]);
});

test("own words replace the only answer", () => {
  expect(answersOf([one], [{ chosen: ["A"], own: "neither" }])).toEqual([["neither"]]);
});

test("buttons are enough for one question with one answer", () => {
  expect([isSimple([one]), isSimple([many]), isSimple([one, one])]).toEqual([true, false, false]);
});
