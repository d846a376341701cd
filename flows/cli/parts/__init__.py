"""What commands of all products share: arguments, groups of help, and the view of a run."""
