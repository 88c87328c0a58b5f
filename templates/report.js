
"use strict";
const collator = new Intl.Collator("en", {numeric: true});
const order = {
  serial: (a, b) => a.length - b.length || (a < b ? -1 : a > b ? 1 : 0),
  text: collator.compare,
};
const text = (row, column) => row.cells[column].firstChild?.textContent.trim() ?? "";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  table.classList.add("sorted");
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const sign = head.ariaSort == "ascending" ? -1 : 1;
      const compare = order[head.dataset.order ?? "text"];
      body.append(...[...body.rows].sort((a, b) => sign * compare(text(a, column), text(b, column))));
      heads.forEach(other => { other.ariaSort = null; });
      head.ariaSort = sign > 0 ? "ascending" : "descending";
    });
  });
}
const filter = document.getElementById("filter");
const field = filter.querySelector("input"), count = filter.querySelector("output");
filter.hidden = false;
field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const row of document.querySelectorAll("table.sortable tbody tr")) {
    const found = row.textContent.toLowerCase();
    row.hidden = !words.every(word => found.includes(word));
    if (!row.hidden && !row.closest("details")) shown++;
  }
  if (words.length) for (const part of document.querySelectorAll("details")) part.open = true;
  count.textContent = words.length ? `${shown} found` : "";
});
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
