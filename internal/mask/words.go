package mask

import "strings"

// The words that names and addresses are made of.
var (
	firstNames = strings.Fields(`Ada Agnes Alba Alice Alma Amber Amos Anton Ariel Astrid August Aurora Basil Beatrix Benno Bertha Bianca Blanche Boris Bruno
		Camilla Carlo Cecil Celeste Clara Claude Cora Corin Cyrus Daisy Damian Daphne Delia Dexter Dora Edgar Edith Elias Elsa Emil Enid Ernest Esther Ethel
		Eugene Fabian Felix Fern Fiona Flora Floyd Frida Gemma Georgia Gilbert Ginger Gloria Greta Gustav Harriet Hazel Hector Helga Henrik Hilda Horace Hugo
		Ida Igor Imogen Ingrid Iris Isidor Ivan Ivy Jasper Jonas Josef Judith Julius June Karin Kasper Kirsten Lars Laura Leif Lena Leo Lilian Linus Lorenz
		Lotte Lucius Lydia Mabel Magnus Malvin Margot Marius Matilda Maurice Max Mercy Milo Mina Moritz Myra Nadia Nell Nils Nora Olaf Olga Oscar Otto Pearl
		Pella Petra Philo Quentin Rhea Roland Rosa Rufus Ruth`)
	lastNames = strings.Fields(`Abbott Alder Amsel Archer Ashby Atwood Baker Barlow Beck Bellamy Birch Blake Bloom Bolt Bramble Brook Burrow Byrne Calder Carver
		Cedar Chandler Clay Cooper Cork Crane Croft Dale Dawn Dove Drake Draper Dyer Eaves Eider Elm Fairway Falk Farrow Fenwick Field Finch Fisher Fletcher
		Forge Fox Frost Gale Garland Glover Gold Granger Greenwood Grove Hale Harbour Harper Hart Hawthorn Heath Heron Hill Holm Hooper Hunter Ivory Jay
		Juniper Keel Kestrel Kite Lake Lark Larkspur Leaf Linden Locke Lowe Mallard Maple Marsh Martin Mason Meadow Mercer Miller Moor Moss North Oak Orchard
		Otter Page Parson Pike Pine Pond Porter Potter Quill Rain Reed Ridge Rivers Robin Rook Rowan Sadler Sage Sawyer Shore Slate Smith Snow Spark Spring
		Starling Stone Swan Tanner Thorn Tiller Turner Vale Wade Walker Waters Weaver Wheeler Willow Winter Wood Wren Yarrow`)
	streets = strings.Fields(`Acorn Anchor Apple Barn Beacon Bell Birch Bridge Canal Castle Cedar Chapel Cherry Church Clover College Copper Crescent Dock
		Elm Factory Ferry Forest Fountain Garden Gate Glen Grange Harbour Hazel High Hill Island Lake Laurel Lime Mill Maple Market Meadow Museum North
		Oak Orchard Park Pine Poplar Quarry Quay Queen River Rose School Silver South Spring Station Temple Tower Valley Victory Water West Willow`)
	cities = strings.Fields(`Ambleford Ashbourne Barrowby Brackenfell Bridgemere Burnham Caldervale Clearwater Coldbrook Cresswell Dunmore Eastwick Elmstead
		Fairhaven Fernhill Foxley Glenmoor Goldcrest Greystone Hartwell Hawksmere Highcliff Hollowbrook Kingsford Lakeside Larkfield Linwood Longmeadow
		Maplewood Marlow Milbrook Mossdale Newbridge Northam Oakhurst Otterburn Pinecrest Queensbury Redcliff Ridgeway Riverton Rosedale Sandhaven
		Seacombe Silverdale Southfield Springvale Stonebridge Summerhill Swanwick Thornbury Tidewell Underwood Valecross Waterford Westmere Whitby
		Willowdale Windhaven Winterbourne Woodlea Wrenfield Yarrowby Yewdale`)
)

// vocabulary are all of these words, folded.
var vocabulary = func() map[string]bool {
	words := map[string]bool{"street": true, "redacted": true, "and": true}
	for _, list := range [][]string{firstNames, lastNames, streets, cities} {
		for _, word := range list {
			words[strings.ToLower(word)] = true
		}
	}
	return words
}()

// invented reports whether rules may make up the text: then nobody can tell
// afterwards whose it is.
func invented(text string) bool {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' })
	for _, word := range words {
		if !vocabulary[word] {
			return false
		}
	}
	return len(words) > 0
}
