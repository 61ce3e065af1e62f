import type { ReviewDecision } from "../protocol/policy.ts";
import { Consents } from "./consents.ts";
import { OpenQuestions } from "./open-questions.ts";

/** The approvals that a thread waits for, and what was allowed for good. */
export class Approvals extends OpenQuestions<ReviewDecision> {
  readonly consents = new Consents();
}
