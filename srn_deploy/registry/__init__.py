"""Models by name: shipped with the package, or published and downloaded; `resolve` finds one and says what it is."""
