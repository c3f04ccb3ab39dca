"""The data of the image specification, as pure values: nothing here touches a disk or a network."""
