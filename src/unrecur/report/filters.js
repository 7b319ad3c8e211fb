// Filters: a box for each family and each model, which hides its lines and its rows everywhere.
(() => {
  const filters = document.getElementById("filters");
  if (!filters) return;
  const models = [...filters.querySelectorAll("[data-model]")];
  const families = [...filters.querySelectorAll("[data-family]")];
  const status = document.getElementById("filtered");
  const tables = [...document.querySelectorAll("table[data-about]")];

  function apply() {
    const off = models.filter((box) => !box.checked);
    const names = new Set(off.map((box) => box.dataset.model));
    for (const family of families) {
      const all = models.filter((box) => box.dataset.of === family.dataset.family);
      const on = all.filter((box) => box.checked).length;
      family.checked = on > 0;
      family.indeterminate = on > 0 && on < all.length;
    }
    for (const table of tables) {
      const places = table.dataset.about.split(" ").map(Number);
      for (const row of table.tBodies[0].rows) {
        row.hidden = places.some((place) => names.has(row.cells[place].textContent));
      }
    }
    const some = off.length ? `${models.length - off.length} of ${models.length}` : "all";
    status.textContent = `Models shown: ${some}`;
    filters.classList.toggle("active", off.length > 0);
    unrecur.hide(new Set(off.map((box) => box.dataset.label)));
  }

  for (const box of models) box.addEventListener("change", apply);
  for (const family of families) {
    family.addEventListener("change", () => {
      for (const box of models) if (box.dataset.of === family.dataset.family) box.checked = family.checked;
      apply();
    });
  }
  filters.hidden = false;
})();
