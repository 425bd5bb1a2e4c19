import { createRulesetFunction } from "@stoplight/spectral-core";

// Values below a path such as $.paths.*.*.operationId, each with where it stands.
function values(node, steps, place = []) {
  if (steps.length === 0) return node === undefined ? [] : [{ value: String(node), place }];
  if (node === null || typeof node !== "object") return [];
  const [step, ...rest] = steps;
  const keys = step === "*" ? Object.keys(node) : step in node ? [step] : [];
  return keys.flatMap((key) => values(node[key], rest, [...place, key]));
}

export default createRulesetFunction(
  {
    input: null,
    options: {
      type: "object",
      required: ["path"],
      additionalProperties: false,
      properties: { path: { type: "string" }, length: { type: "integer" } },
    },
  },
  function uniqueIgnoringCase(target, { path, length }, context) {
    const seen = new Map();
    const problems = [];
    for (const { value, place } of values(target, path.split(".").slice(1))) {
      const name = value.toLowerCase().slice(0, length);
      if (seen.has(name)) problems.push({ message: `${value} and ${seen.get(name)}`, path: [...context.path, ...place] });
      else seen.set(name, value);
    }
    return problems;
  },
);
