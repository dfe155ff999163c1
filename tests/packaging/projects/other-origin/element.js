// A user's page with two elements of the package, taken from the origin in its address.

const query = new URLSearchParams(location.search);
await import(query.get("package"));
for (const _ of [1, 2]) {
  const element = document.createElement("lora-loom");
  element.setAttribute("registry", "../library/registry.json");
  element.setAttribute("recipe", query.get("recipe"));
  document.body.append(element);
}
