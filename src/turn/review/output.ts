/** A reviewer's findings: read from its last message, and written out for people. */
import * as z from "zod";

const findingSchema = z.looseObject({
  title: z.string(),
  body: z.string(),
  confidence_score: z.number(),
  priority: z.int(),
  code_location: z.looseObject({
    absolute_file_path: z.string(),
    line_range: z.looseObject({ start: z.int().min(0), end: z.int().min(0) }),
  }),
});

const outputSchema = z.looseObject({
  findings: z.array(findingSchema),
  overall_correctness: z.string(),
  overall_explanation: z.string(),
  overall_confidence_score: z.number(),
});

export type ReviewOutput = z.infer<typeof outputSchema>;

const NO_OUTPUT = "Reviewer failed to output a response.";
export const INTERRUPTED = "Review was interrupted. Please re-run /review and wait for it to complete.";

/** The JSON that the message is or holds, as Codex wants it: with every field. A message without any is an explanation as a whole. */
export function readReview(message: string): ReviewOutput {
  return (
    parsed(message) ?? parsed(message.slice(message.indexOf("{"), message.lastIndexOf("}") + 1)) ?? explained(message)
  );
}

function parsed(text: string): ReviewOutput | undefined {
  try {
    return outputSchema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

const explained = (message: string): ReviewOutput => ({
  findings: [],
  overall_correctness: "",
  overall_explanation: message,
  overall_confidence_score: 0,
});

/** What v2's exitedReviewMode says, for every writer of the output. */
export const shownReview = (output: unknown): string => {
  const read = outputSchema.safeParse(output);
  return read.success ? renderReview(read.data) : NO_OUTPUT;
};

export function renderReview({ findings, overall_explanation }: ReviewOutput): string {
  const explanation = overall_explanation.trim();
  const parts = explanation === "" ? [] : [explanation];
  if (findings.length > 0) {
    parts.push(findings.length === 1 ? "Review comment:" : "Full review comments:");
    parts.push(...findings.map(renderFinding));
  }
  return parts.join("\n\n").trim() || NO_OUTPUT;
}

function renderFinding({
  title,
  body,
  code_location: { absolute_file_path: path, line_range },
}: ReviewOutput["findings"][number]) {
  const head = `- ${title} — ${path}:${line_range.start}-${line_range.end}`;
  const lines = body === "" ? [] : body.replace(/\r?\n$/, "").split(/\r?\n/);
  return [head, ...lines.map((line) => `  ${line}`)].join("\n");
}
