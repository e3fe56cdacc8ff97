"""Files written anew from files, without xarray's objects between them."""
